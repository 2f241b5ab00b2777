"""The work: an event is accepted, matched, delivered, settled.

``accept``   stores what a source sent; only then is it answered.
``match``    finds whom an event concerns, and stores what it owes.
``deliver``  makes one attempt: checks, signs, sends, and says what should become of the delivery.
``settle``   writes that down, in batches.
``workers``  keeps all of it going, and ends it in order.
``upkeep``   forgets what is over.
``tending``  looks after the signing keys.

The work knows doors (``dispatcher.ports``) and no technology; it runs on anyio.
"""
