"""What users need to test their own job types, without sleeping."""
