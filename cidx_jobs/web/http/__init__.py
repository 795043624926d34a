"""What every route uses: the call, its request and answer, problems, parked connections."""
