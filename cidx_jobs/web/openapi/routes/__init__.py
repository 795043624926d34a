"""What the document of the API says of each route."""
