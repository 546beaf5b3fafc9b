"""Which crates a build takes in, asked of cargo: what is compiled into it, and what runs while it is compiled."""

import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Build:
    """One thing that is built: a package, its target, and how cargo is to resolve its features."""

    package: str
    target: str
    arguments: tuple[str, ...] = ()


@dataclass
class Crate:
    """One crate of a build."""

    name: str
    version: str
    licence: str
    repository: str | None
    folder: Path
    # SHA-256 of the archive on crates.io; of our own packages there is none.
    checksum: str | None
    # Whether its code is compiled in; else it only runs at build time (macros, build scripts).
    is_inside: bool
    needs: set[tuple[str, str]] = field(default_factory=set)

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.version


def cargo(root: Path, *arguments: str) -> str:
    return subprocess.run(['cargo', *arguments], cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout


def tree(root: Path, build: Build, edges: str) -> dict[tuple[str, str], set[tuple[str, str]]]:
    """The crates that `build` resolves to over these kinds of edges, each with those that it needs."""
    lines = cargo(
        root, 'tree', '--locked', '-p', build.package, '--target', build.target, *build.arguments,
        '-e', edges, '--prefix', 'depth', '-f', ' {p}',
    ).splitlines()
    found: dict[tuple[str, str], set[tuple[str, str]]] = {}
    way: list[tuple[str, str]] = []
    for line in filter(None, lines):
        depth, name, version = re.match(r'(\d+) (\S+) v(\S+)', line).groups()
        key = name, version
        found.setdefault(key, set())
        del way[int(depth):]
        if way:
            found[way[-1]].add(key)
        way.append(key)
    return found


def checksums(root: Path) -> dict[tuple[str, str], str]:
    """SHA-256 of each crate's archive, from the lock file. (Python's reader of TOML is younger than the Python that is needed here.)"""
    entries = (root / 'Cargo.lock').read_text().split('[[package]]\n')[1:]
    texts = [dict(re.findall(r'^(name|version|checksum) = "(.*)"$', entry, re.M)) for entry in entries]
    return {(text['name'], text['version']): text['checksum'] for text in texts if 'checksum' in text}


def crates(root: Path, build: Build) -> list[Crate]:
    """All crates of a build, by name and version."""
    inside = tree(root, build, 'normal,no-proc-macro')
    edges = tree(root, build, 'normal,build')
    metadata = json.loads(cargo(root, 'metadata', '--locked', '--format-version', '1', '--filter-platform', build.target))
    described = {(package['name'], package['version']): package for package in metadata['packages']}
    sums = checksums(root)
    result = []
    for key in sorted(edges):
        package = described[key]
        if not package['license']:
            raise SystemExit(f'release: {key[0]} {key[1]} says no licence')
        checksum = sums.get(key)
        if package['source'] and not checksum:
            raise SystemExit(f'release: Cargo.lock has no checksum of {key[0]} {key[1]}')
        result.append(Crate(
            name=key[0],
            version=key[1],
            # The old way to write it.
            licence=package['license'].replace('/', ' OR ') if ' ' not in package['license'] else package['license'],
            repository=package['repository'],
            folder=Path(package['manifest_path']).parent,
            checksum=checksum,
            is_inside=key in inside,
            needs=edges[key],
        ))
    return result


def version(root: Path) -> str:
    """The version of the filter, which stands once, in Cargo.toml."""
    metadata = json.loads(cargo(root, 'metadata', '--locked', '--format-version', '1', '--no-deps'))
    return next(package['version'] for package in metadata['packages'] if package['name'] == 'attache')
