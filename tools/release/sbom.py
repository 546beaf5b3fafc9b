"""Software bills of materials: CycloneDX 1.6, JSON."""

import hashlib
import json
import uuid
from pathlib import Path
from urllib.parse import quote

from crates import Crate


def reference(crate: Crate) -> str:
    """How a crate is named in the bill: by its package URL if it is on crates.io."""
    name = f'{crate.name}@{quote(crate.version)}'
    return f'pkg:cargo/{name}' if crate.checksum else f'attache:{name}'


def component(crate: Crate) -> dict:
    described = {
        'type': 'library',
        'bom-ref': reference(crate),
        'name': crate.name,
        'version': crate.version,
        'scope': 'required' if crate.is_inside else 'excluded',
        'licenses': [{'expression': crate.licence}],
    }
    if crate.checksum:
        # Of the archive that cargo downloads, and compares.
        described['hashes'] = [{'alg': 'SHA-256', 'content': crate.checksum}]
        described['purl'] = reference(crate)
    if crate.repository:
        described['externalReferences'] = [{'type': 'vcs', 'url': crate.repository}]
    return described


def standard_library(rust: str) -> dict:
    return {
        'type': 'library',
        'bom-ref': f'attache:rust-std@{rust}',
        'name': 'rust-std',
        'version': rust,
        'description': "Rust's standard library, with the crates that it is made of",
        'scope': 'required',
        'licenses': [{'expression': 'MIT OR Apache-2.0'}],
        'externalReferences': [{'type': 'vcs', 'url': 'https://github.com/rust-lang/rust'}],
    }


def bill(name: str, description: str, package: str, built: Path, crates: list[Crate], rust: str) -> str:
    """The bill of the file `built`, which `package` was made into."""
    own = next(crate for crate in crates if crate.name == package)
    others = [crate for crate in crates if crate is not own]
    references = {crate.key: reference(crate) for crate in crates}
    std = standard_library(rust)
    main = f'attache:{name}@{own.version}'
    references[own.key] = main
    document = {
        '$schema': 'http://cyclonedx.org/schema/bom-1.6.schema.json',
        'bomFormat': 'CycloneDX',
        'specVersion': '1.6',
        'version': 1,
        'metadata': {
            'lifecycles': [{'phase': 'build'}],
            'component': {
                'type': 'application',
                'bom-ref': main,
                'name': name,
                'version': own.version,
                'description': description,
                'licenses': [{'expression': own.licence}],
                'hashes': [{'alg': 'SHA-256', 'content': hashlib.sha256(built.read_bytes()).hexdigest()}],
            },
        },
        'components': [component(crate) for crate in others] + [std],
        'dependencies': [
            {
                'ref': references[crate.key],
                'dependsOn': sorted(references[key] for key in crate.needs) + ([std['bom-ref']] if crate is own else []),
            }
            for crate in crates
        ],
    }
    # The same bill has the same number, another has another.
    digest = hashlib.sha256(json.dumps(document).encode()).hexdigest()
    document['serialNumber'] = f'urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}'
    return json.dumps(document, indent=2, ensure_ascii=False) + '\n'
