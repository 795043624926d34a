"""The whole engine in virtual time: seeded users, faults, limits that change, crashes."""
