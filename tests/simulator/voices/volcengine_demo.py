"""The client of Volcengine's published `ws_binary` demo, its logic as it stands there.

Left out: what it prints. Changed: the address, the credentials, and `additional_headers`, which
websockets called `extra_headers` when the demo was written. It knows nothing of this project.
"""

import copy
import gzip
import json
import uuid
from io import BytesIO
from typing import Any

import websockets

MESSAGE_TYPES = {
    11: "audio-only server response",
    12: "frontend server response",
    15: "error message from server",
}
MESSAGE_TYPE_SPECIFIC_FLAGS = {
    0: "no sequence number",
    1: "sequence number > 0",
    2: "last message from server (seq < 0)",
    3: "sequence number < 0",
}

APPID, TOKEN, VOICE = "APPID_PLACEHOLDER", "TOKEN_PLACEHOLDER", "VOICE_PLACEHOLDER"
DEFAULT_HEADER = bytearray(b"\x11\x10\x11\x00")
REQUEST_JSON: dict[str, dict[str, Any]] = {
    "app": {"appid": APPID, "token": "access_token", "cluster": "volcano_tts"},
    "user": {"uid": "YOUR_UID"},
    "audio": {
        "voice_type": "xxx",
        "encoding": "mp3",
        "speed_ratio": 1.0,
        "volume_ratio": 1.0,
        "pitch_ratio": 1.0,
    },
    "request": {
        "reqid": "xxx",
        "text": "字节跳动语音合成。",
        "text_type": "plain",
        "operation": "xxx",
    },
}


def full_client_request(operation: str, **changes: Any) -> bytes:
    """`changes`: of the section `request`, or of `audio` if they belong there."""
    request_json = copy.deepcopy(REQUEST_JSON)
    request_json["audio"]["voice_type"] = VOICE
    request_json["request"]["reqid"] = str(uuid.uuid4())
    request_json["request"]["operation"] = operation
    for name, value in changes.items():
        section = "audio" if name in ("encoding", "rate", "voice_type") else "request"
        request_json[section][name] = value
    payload_bytes = str.encode(json.dumps(request_json))
    payload_bytes = gzip.compress(payload_bytes)
    request = bytearray(DEFAULT_HEADER)
    request.extend(len(payload_bytes).to_bytes(4, "big"))
    request.extend(payload_bytes)
    return bytes(request)


async def submit(api_url: str, **changes: Any) -> bytes:
    file_to_save = BytesIO()
    header = {"Authorization": f"Bearer; {TOKEN}"}
    async with websockets.connect(api_url, additional_headers=header, ping_interval=None) as ws:
        await ws.send(full_client_request("submit", **changes))
        while True:
            res = await ws.recv()
            assert isinstance(res, bytes)
            done = parse_response(res, file_to_save)
            if done:
                break
    return file_to_save.getvalue()


async def query(api_url: str, **changes: Any) -> bytes:
    file_to_save = BytesIO()
    header = {"Authorization": f"Bearer; {TOKEN}"}
    async with websockets.connect(api_url, additional_headers=header, ping_interval=None) as ws:
        await ws.send(full_client_request("query", **changes))
        res = await ws.recv()
        assert isinstance(res, bytes)
        parse_response(res, file_to_save)
    return file_to_save.getvalue()


def parse_response(res: bytes, file: BytesIO) -> bool | None:
    header_size = res[0] & 0x0F
    message_type = res[1] >> 4
    message_type_specific_flags = res[1] & 0x0F
    message_compression = res[2] & 0x0F
    payload = res[header_size * 4 :]
    _ = MESSAGE_TYPES[message_type]
    _ = MESSAGE_TYPE_SPECIFIC_FLAGS[message_type_specific_flags]
    if message_type == 0xB:
        if message_type_specific_flags == 0:
            return False
        sequence_number = int.from_bytes(payload[:4], "big", signed=True)
        payload = payload[8:]
        file.write(payload)
        return sequence_number < 0
    if message_type == 0xF:
        error_msg = payload[8:]
        if message_compression == 1:
            error_msg = gzip.decompress(error_msg)
        str(error_msg, "utf-8")
        return True
    if message_type == 0xC:
        payload = payload[4:]
        if message_compression == 1:
            payload = gzip.decompress(payload)
        return None
    return True
