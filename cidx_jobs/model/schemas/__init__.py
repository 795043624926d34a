"""What options and results are held against: value classes, JSON Schemas."""
