#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The shared library exports exactly what its version script lists, and imports nothing unsafe.

usage: exports.py NM LIBRARY MAP
"""
import re
import subprocess
import sys

# What a library inside somebody's server must not do: end the process, print, allocate, start
# threads, change the locale, handle signals, change the environment.
FORBIDDEN = re.compile(
    r"abort|_?exit|_Exit|quick_exit|atexit|__assert_fail|raise|kill"
    r"|(__)?v?[fsd]?n?printf(_chk)?|f?put[cs]|putchar|puts|perror|f?write|f?open(64)?|syslog"
    r"|malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|memalign|free|mmap(64)?|sbrk"
    r"|pthread_\w+|thrd_\w+|fork|system|dlopen"
    r"|setlocale|uselocale|signal|sigaction|sigprocmask|setenv|putenv|unsetenv|fesetround|fesetenv")


def symbols(nm, option, library):
    listing = subprocess.run([nm, "-D", option, "--format=posix", library], capture_output=True,
                             text=True, check=True).stdout
    return {line.split()[0].split("@")[0] for line in listing.splitlines()}


def main():
    nm, library, map_file = sys.argv[1:]
    with open(map_file, encoding="ascii") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    listed = set(re.findall(r"(\w+);", text.split("global:")[1].split("local:")[0]))
    versions = set(re.findall(r"^(\w+)\s*\{", text, flags=re.M))
    exported = symbols(nm, "--defined-only", library) - versions
    imported = symbols(nm, "--undefined-only", library)
    failures = [f"not exported: {name}" for name in sorted(listed - exported)]
    failures += [f"exported, not in the map: {name}" for name in sorted(exported - listed)]
    failures += [f"must not be used: {name}" for name in sorted(imported) if FORBIDDEN.fullmatch(name)]
    print("\n".join(failures))
    print(f"{len(exported)} exported, {len(imported)} imported ({', '.join(sorted(imported))}): "
          f"{len(failures)} wrong")
    return 1 if failures or not exported else 0


if __name__ == "__main__":
    sys.exit(main())
