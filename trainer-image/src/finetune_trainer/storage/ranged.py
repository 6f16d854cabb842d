"""One http(s) address that answers GET, whole or in ranges. Credentials go to the server they are for, and to no other."""

import base64
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import IO
from urllib.parse import urlsplit

from finetune_trainer import errors
from finetune_trainer.layout import Layout
from finetune_trainer.storage import credentials

TIMEOUT = 20.0
"""Seconds of silence that are too many. A slow answer is none: each byte that arrives starts the count anew."""
BUSY = frozenset({429, 500, 502, 503, 504})
PAUSES = (0.5, 1.0, 2.0)
"""Seconds before a busy server is asked again."""
STREAM_BYTES = 1024 * 1024
"""The most that is passed on at once; less where less is there."""
PARTIAL = 206


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the file is, and how errors about it are told."""

    url: str
    authorization: str | None = None
    """The header of that name; sent to this host only."""
    context: ssl.SSLContext
    refused: Callable[[int], errors.TrainerError]
    """The error for a status that is no success."""
    silent: Callable[[BaseException], errors.TrainerError]
    """The error where no whole answer comes."""

    @contextmanager
    def answer(self, **headers: str) -> Iterator[HTTPResponse]:
        """The server's answer, its body not read yet. `headers`: names with `_` for `-`."""
        # The scheme is http or https: Reference has looked.
        request = urllib.request.Request(  # noqa: S310 - see above
            self.url, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        if self.authorization:
            request.add_unredirected_header("Authorization", self.authorization)
        try:
            with self._opened(request) as found:
                yield found
        except urllib.error.HTTPError as error:
            error.close()
            raise self.refused(error.code) from error
        except (TimeoutError, urllib.error.URLError, HTTPException, ConnectionError, ssl.SSLError) as error:
            raise self.silent(error) from error

    def _opened(self, request: urllib.request.Request) -> HTTPResponse:
        """The answer; a server that is busy, or just being started again, is asked a few times."""
        opener = urllib.request.build_opener(_Redirects(), urllib.request.HTTPSHandler(context=self.context))
        for pause in PAUSES:
            try:
                return self._asked(opener, request)
            except urllib.error.HTTPError as error:
                if error.code not in BUSY:
                    raise
                error.close()
            except urllib.error.URLError as error:
                if not isinstance(error.reason, ConnectionError):  # a silent one was waited for long enough
                    raise
            except ConnectionError:
                pass
            time.sleep(pause)
        return self._asked(opener, request)

    @staticmethod
    def _asked(opener: urllib.request.OpenerDirector, request: urllib.request.Request) -> HTTPResponse:
        found: HTTPResponse = opener.open(request, timeout=TIMEOUT)
        return found

    def begins_in_the_middle(self) -> bool:
        """Whether the server answers with a part where a part is asked for."""
        with self.answer(Range="bytes=0-0") as found:
            return found.status == PARTIAL

    def read(self, start: int, end: int, *, size: int, tag: str = "") -> Iterator[bytes]:
        """The bytes from `start` up to `end` of `size`. `tag`: the ETag, so that no two versions are mixed."""
        headers: dict[str, str] = {}
        if (start, end) != (0, size):
            headers["Range"] = f"bytes={start}-{end - 1}"
            if tag.startswith('"'):
                headers["If_Range"] = tag
        with self.answer(**headers) as found:
            if headers and (
                found.status != PARTIAL
                or not (found.headers.get("Content-Range") or "").startswith(f"bytes {start}-")
            ):
                raise self.silent(
                    ConnectionError("the server cannot continue a broken download, or the file has changed")
                )
            yield from chunks(found)


def chunks(answer: HTTPResponse) -> Iterator[bytes]:
    """The body as it arrives. That it ends too soon is the caller's to see: http.client does not tell."""
    while chunk := answer.read1(STREAM_BYTES):
        yield chunk


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects; what proves who we are stays with the server it is for."""

    def redirect_request(  # noqa: PLR0917 - urllib's signature
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        made = super().redirect_request(req, fp, code, msg, headers, newurl)
        told = req.unredirected_hdrs.get("Authorization")
        if made and told and _origin(newurl) == _origin(req.full_url):
            made.add_unredirected_header("Authorization", told)
        return made


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def trust(layout: Layout) -> ssl.SSLContext:
    """The usual authorities and the profile's."""
    context = ssl.create_default_context()
    if authorities := credentials.authorities(layout):
        context.load_verify_locations(cadata=authorities)
    return context


def basic(user: str, password: str) -> str:
    """The Authorization header of a name and a password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
