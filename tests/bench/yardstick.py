"""The yardstick: what one raw RSA-2048 signature costs on this machine, in this run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import mean, median

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

BYTES = 600
"""The size of what is signed: about a logout token's header and claims."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One ``key.sign`` on one thread: its CPU, and how many there are in a second of the clock."""

    cpu_seconds: float
    per_second: float


@dataclass(slots=True)
class Around:
    """The yardstick as it was before and after what it is held against."""

    taken: list[Signature] = field(default_factory=list)

    @property
    def cpu_seconds(self) -> float:
        """The mean of before and after."""
        return mean(one.cpu_seconds for one in self.taken)

    @property
    def per_second(self) -> float:
        """The mean of before and after."""
        return mean(one.per_second for one in self.taken)


@contextmanager
def raw_rsa_around() -> Iterator[Around]:
    """Take the yardstick before and after the block."""
    around = Around([raw_rsa_signature()])
    yield around
    around.taken.append(raw_rsa_signature())


def raw_rsa_signature(*, rounds: int = 5, signatures: int = 200) -> Signature:
    """Return what one ``key.sign`` costs, RSA-2048, one thread: medians of rounds."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    payload = b"x" * BYTES

    def one_round() -> Signature:
        began, cpu = time.perf_counter(), time.process_time()
        for _ in range(signatures):
            key.sign(payload, padding.PKCS1v15(), hashes.SHA256())
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        return Signature(cpu / signatures, signatures / took)

    one_round()
    measured = [one_round() for _ in range(rounds)]
    return Signature(
        median(one.cpu_seconds for one in measured), median(one.per_second for one in measured)
    )
