"""Measurements: one runnable file a question, all of them with `python -m bench`.

A question is a file `bench/<topic>.py` that ends like this and can be run alone
(`python -m bench.<topic>`); `bench/harness.py` does the turns, the figures and the table:

    def main() -> None:
        with Bench("sync", settings={"files": 2000}) as bench:
            taken = bench.paired({"server": through_the_server, "by hand": by_hand}, unit="s")
            bench.ratio("server / by hand", taken["server"], taken["by hand"], at_most=1.25)


    if __name__ == "__main__":
        main()
"""
