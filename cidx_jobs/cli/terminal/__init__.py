"""What people see on a terminal: live lines, reports, tables, questions."""
