"""What a measured program says: one line of JSON, its last."""

import json


def say(seconds, result):
    print(json.dumps({"seconds": seconds, "result": result}), flush=True)
