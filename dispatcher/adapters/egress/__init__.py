"""The way out: one POST to an application's Back-Channel Logout URI, and the guard around it.

sender       one attempt under one deadline: the port ``Sender``
target       the URI, taken apart into an origin and the request's head
peers, pool  what is kept per application: TLS context, allow-list, connections
guard        resolve, judge, dial: the only place from which anything is dialled
addresses    which addresses may be dialled
resolver     names to addresses, on threads of its own
tls          certificates and keys
connection   one connection and its POSTs
answer       the bytes of an answer into a status
outcomes     a status into what it means
failures     what can stand in the way
"""

from dispatcher.adapters.egress.addresses import EgressMode, EgressPolicy
from dispatcher.adapters.egress.peers import check_application
from dispatcher.adapters.egress.resolver import Resolver
from dispatcher.adapters.egress.sender import HttpSender

__all__ = ["EgressMode", "EgressPolicy", "HttpSender", "Resolver", "check_application"]
