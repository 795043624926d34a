"""What describes the API: the OpenAPI document, its schemas and examples, a page to read it."""
