#!/usr/bin/env python3
"""Puts Python packages into a folder, without root and also where Python has no pip.

usage: fetch.py FOLDER [--no-deps] NAME==VERSION...

The pip that does it is this Python's own, else the one that came along for virtual environments (ensurepip), else Debian's package
python3-pip-whl, which apt-get fetches from the machine's mirror and which is unpacked, not installed. FOLDER is there afterwards with everything in
it, or not at all; FOLDER.log has all that was said. Exit status 1: it could not be done; the log's last lines say why.
"""

import glob
import importlib.util
import os
import shutil
import subprocess
import sys


def pip(run, work):
    """The command line of a pip, if there is one."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    ensurepip = importlib.util.find_spec("ensurepip")
    folders = list(ensurepip.submodule_search_locations) if ensurepip else []
    # Debian keeps what ensurepip would have in a package of its own.
    debian = "/usr/share/python-wheels"
    wheel = find(debian, *(os.path.join(folder, "_bundled") for folder in folders))
    if not wheel and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        wheel = from_mirror(run, work, debian)
    # A wheel is an archive that Python imports from.
    return wheel and [sys.executable, os.path.join(wheel, "pip")]


def find(*folders):
    """The newest wheel of pip in the folders."""
    return max((w for f in folders for w in glob.glob(os.path.join(f, "pip-*.whl"))), default=None)


def from_mirror(run, work, place):
    """The same from the mirror; with package lists of its own, as the machine's may never have been read."""
    os.makedirs(os.path.join(work, "lists/partial"))
    own = ["-o", f"Dir::State::lists={work}/lists", "-o", f"Dir::Cache={work}"]
    download = ["download", "python3-pip-whl"]
    fetched = (
        run(["apt-get", *download], work) == 0
        or run(["apt-get", *own, "update"], work) == 0
        and run(["apt-get", *own, *download], work) == 0
    )
    packages = glob.glob(f"{work}/*.deb") if fetched else []
    for package in packages:
        run(["dpkg-deb", "-x", package, work], work)
    return find(work + place)


def main(folder, *what):
    folder = os.path.abspath(folder)
    new, work = folder + ".new", folder + ".pip"
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    for leftover in (new, work):
        shutil.rmtree(leftover, ignore_errors=True)
    with open(folder + ".log", "w", encoding="utf-8") as log:
        def run(command, where=None):
            log.write(" ".join(command) + "\n")
            log.flush()
            return subprocess.call(command, cwd=where, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        install = ["install", "--disable-pip-version-check", "--no-input", "--target", new]
        command = pip(run, work)
        if not command:
            log.write("python3 has no pip: install the package python3-pip\n")
        done = command and run([*command, *install, *what]) == 0
        shutil.rmtree(work, ignore_errors=True)
        if not done:
            shutil.rmtree(new, ignore_errors=True)
            return 1
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(new, folder)
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
