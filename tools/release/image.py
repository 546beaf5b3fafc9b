"""The module as an OCI image, in an OCI image layout in a tar.

One image for all. Istio's WasmPlugin and Envoy Gateway's EnvoyExtensionPolicy take `plugin.wasm` out of the last layer of an image whose
layers are OCI's own (pkg/wasm/imagefetcher.go there, internal/wasm/imagefetcher.go here; the compat variant of the Wasm Image
Specification). A volume of Kubernetes shows `attache.wasm`, the same file by its other name. `oras pull` gets the layer as a file,
because it has a title.
"""

import json

from archive import compress, pack, sha256

MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip'


def blob(content: bytes, media_type: str, **more: object) -> dict:
    return {'mediaType': media_type, 'digest': f'sha256:{sha256(content)}', 'size': len(content), **more}


def as_json(value: object) -> bytes:
    return json.dumps(value, separators=(',', ':'), ensure_ascii=False).encode()


def build(module: bytes, version: str) -> tuple[bytes, str]:
    """The tar, and the digest of the image: what a reference has behind its `@`."""
    files = pack({'plugin.wasm': (module, 0o644)}, {'attache.wasm': 'plugin.wasm'})
    layer = compress(files)
    # The module runs anywhere; a node of Kubernetes wants an image to name a platform.
    config = as_json({
        'architecture': 'amd64',
        'os': 'linux',
        'config': {},
        'rootfs': {'type': 'layers', 'diff_ids': [f'sha256:{sha256(files)}']},
    })
    manifest = as_json({
        'schemaVersion': 2,
        'mediaType': MANIFEST,
        'config': blob(config, 'application/vnd.oci.image.config.v1+json'),
        'layers': [blob(layer, LAYER, annotations={'org.opencontainers.image.title': 'attache.tar.gz'})],
        'annotations': {
            'module.wasm.image/variant': 'compat',
            'org.opencontainers.image.title': 'attache',
            'org.opencontainers.image.description': 'Secures Agent2Agent (A2A) traffic in Envoy and Istio',
            'org.opencontainers.image.licenses': 'Apache-2.0',
            'org.opencontainers.image.version': version,
        },
    })
    named = blob(manifest, MANIFEST, annotations={'org.opencontainers.image.ref.name': version})
    index = {'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.index.v1+json', 'manifests': [named]}
    layout = {f'blobs/sha256/{sha256(content)}': (content, 0o644) for content in (config, layer, manifest)}
    layout['index.json'] = (as_json(index), 0o644)
    layout['oci-layout'] = (as_json({'imageLayoutVersion': '1.0.0'}), 0o644)
    return pack(layout), named['digest']
