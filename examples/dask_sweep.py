"""A sweep on Dask: every task does one part, then the parts are put together.

    pip install distributed==2026.8.0
    python examples/dask_sweep.py PARTS OUT SCENARIO --param PATH=VALUES ...

Every machine needs the wavetank program and the files of the work, and OUT has to be a directory that all of them share.
WAVETANK names the program where it is not on PATH.
"""

import os
import subprocess
import sys

from dask.distributed import Client, LocalCluster

WAVETANK = os.environ.get("WAVETANK", "wavetank")


def part(index, parts, out, words):
    shard = ["--shard", f"{index}/{parts}", "--jobs", "1", "--resume", "--out", f"{out}/part-{index}"]
    subprocess.run([WAVETANK, "sweep", *words, *shard], check=True)
    return f"{out}/part-{index}"


if __name__ == "__main__":  # workers import this file
    parts, out, words = int(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3:]
    with LocalCluster(threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        done = client.gather([client.submit(part, index, parts, out, words) for index in range(1, parts + 1)])
    subprocess.run([WAVETANK, "merge", *done, "--out", f"{out}/whole"], check=True)
