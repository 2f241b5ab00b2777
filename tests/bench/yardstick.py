"""The yardstick: what one raw RSA-2048 signature costs on this machine, in this run."""

import time
from statistics import median

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

BYTES = 600
"""The size of what is signed: about a logout token's header and claims."""


def raw_rsa_signature(*, rounds: int = 5, signatures: int = 200) -> float:
    """Return the CPU seconds of one ``key.sign``, RSA-2048, one thread: a median of rounds."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    payload = b"x" * BYTES

    def one_round() -> float:
        started = time.process_time()
        for _ in range(signatures):
            key.sign(payload, padding.PKCS1v15(), hashes.SHA256())
        return (time.process_time() - started) / signatures

    one_round()
    return median(one_round() for _ in range(rounds))
