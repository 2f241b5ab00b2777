"""The world, behind the doors of ``dispatcher.ports``. Adapters do not know each other.

``sqlite``     the embedded store: queue, registry, sessions, ledger and the sealed key ring.
``postgres``   the store for many replicas, behind the same doors.
``egress``     the POST of a logout token, and the guard of the addresses that are dialled.
``vault``      the keys' own answers, in the words of the house.
``telemetry``  metrics and log lines.
``logstream``  where log lines go, without holding anybody up.
``clock``      the machine's two clocks.
"""
