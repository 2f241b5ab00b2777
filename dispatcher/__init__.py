"""An OpenID Connect Back-Channel Logout event dispatcher.

The sentence that goes with the house: an event is *ingested*, *accepted*, *matched*, *delivered*,
*settled*.

- ``domain``    what things are: events, applications, sessions, deliveries. No I/O, no clock.
- ``ports``     the doors: what the work needs of the world, in the words of the domain.
- ``pipeline``  the work: accept, match, deliver, settle. It knows ports and no technology.
- ``adapters``  the world: the SQLite store, the sender and its address guard, telemetry.
- ``web``       HTTP in, HTTP out, no decisions. ``web/routes.py`` lists every URL.
- ``app``       the roof: builds all, closes all; the only file that names adapters.
- ``commands``  what the command line does besides serving.

The vault, package ``keys``, lies under the house: private keys exist nowhere else.
"""
