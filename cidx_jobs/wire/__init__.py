"""The JSON documents of the API, encoded, decoded and validated in one place."""
