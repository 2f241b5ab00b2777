"""An OpenID Connect Back-Channel Logout event dispatcher.

The sentence that goes with the house: an event is *ingested*, *accepted*, *matched*, *delivered*,
*settled*.

- ``domain``    what things are: events, applications, sessions, deliveries. No I/O, no clock.
- ``ports``     the doors: what the work needs of the world, in the words of the domain.
- ``pipeline``  the work: accept, match, deliver, settle. It knows ports and no technology.
- ``adapters``  the world: the stores, the sender and its address guard, telemetry.
- ``stored``    how things lie in a store, whichever it is.
- ``web``       HTTP in, HTTP out, no decisions. ``web/routes.py`` lists every URL.
- ``app``       the roof: builds all, closes all. ``stores`` opens the store that the settings name;
  these two alone name adapters.
- ``commands``  what the command line does besides serving.

The vault, package ``keys``, lies under the house: private keys exist nowhere else.
"""
