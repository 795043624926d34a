"""What the parts promise each other; every seam has one conformance suite."""
