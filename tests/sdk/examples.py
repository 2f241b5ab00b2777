"""What both generations of Auth0's SDK for Python are asked to do."""

URI = "https://shop.example/backchannel-logout"
CLIENTS, PER_PAGE = 7, 3

SUBSCRIBE_TO_ALL = {
    "backchannel_logout_urls": [URI],
    "backchannel_logout_initiators": {"mode": "all"},
}
PASSWORD_CHANGED_TOO = {
    "backchannel_logout_urls": [URI],
    "backchannel_logout_initiators": {
        "mode": "custom",
        "selected_initiators": ["rp-logout", "idp-logout", "password-changed"],
    },
}
UNSUBSCRIBE_ALL = {"backchannel_logout_urls": [URI]}
"""The URI without initiators: only the two that are required are left."""
SWITCH_OFF: dict[str, object] = {"backchannel_logout_urls": []}
EXAMPLES = [SUBSCRIBE_TO_ALL, PASSWORD_CHANGED_TOO, UNSUBSCRIBE_ALL, SWITCH_OFF]

WITHOUT_IDP_LOGOUT = {
    "backchannel_logout_urls": [URI],
    "backchannel_logout_initiators": {"mode": "custom", "selected_initiators": ["rp-logout"]},
}
"""What is refused: in mode custom both are required."""
