"""What is cleared away and examined: retention, removed projects, the doctor."""
