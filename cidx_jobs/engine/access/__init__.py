"""Who may come in: accounts, their passwords, and the logins made with them."""
