"""A source: signs its webhooks as Standard Webhooks 1.0.0 says, and sends them to the service."""

import base64
import hmac
import json
import secrets
import time
from dataclasses import dataclass, field

import httpx2

SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Source:
    """Who tells the service of sessions and their ends."""

    name: str
    url: str
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(SECRET_BYTES), repr=False)

    @property
    def written_secret(self) -> str:
        """The secret as it stands in the declarative file."""
        return "whsec_" + base64.b64encode(self.secret).decode()

    async def send(
        self, client: httpx2.AsyncClient, webhook_id: str, told: object
    ) -> httpx2.Response:
        """Sign *told*, one event or an array of them, and POST it."""
        body = json.dumps(told).encode()
        headers = {"content-type": "application/json", **signed(self.secret, webhook_id, body)}
        return await client.post(self.url, content=body, headers=headers)

    def shell(self, body: str) -> str:
        """Return shell lines that sign and send *body*, as often as they are run."""
        return "\n".join(
            (
                f"body='{body}'",
                'id="evt_$RANDOM$RANDOM"; now=$(date +%s)',
                'signature=$(printf %s "$id.$now.$body" | openssl dgst -sha256 -binary \\',
                f"  -mac HMAC -macopt hexkey:{self.secret.hex()} | base64)",
                f'curl -i {self.url} -H "content-type: application/json" \\',
                '  -H "webhook-id: $id" -H "webhook-timestamp: $now" \\',
                '  -H "webhook-signature: v1,$signature" -d "$body"',
            )
        )


def signed(secret: bytes, webhook_id: str, body: bytes) -> dict[str, str]:
    """Return the three headers that prove *body* to be the secret's holder's."""
    now = str(int(time.time()))
    digest = hmac.digest(secret, f"{webhook_id}.{now}.".encode() + body, "sha256")
    signature = "v1," + base64.b64encode(digest).decode()
    return {"webhook-id": webhook_id, "webhook-timestamp": now, "webhook-signature": signature}
