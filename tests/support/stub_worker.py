"""A worker that starts at once and does what the names of its files say.

die: it ends · sleep: it never answers · slow: it takes its time for more than one · garbage: it
answers nonsense · anything else: it answers with the number of requests in the batch. The model
"slow to open" takes it two seconds.
"""

import json
import struct
import sys
import time

LENGTHS = struct.Struct(">IQ")


def main() -> None:
    out = sys.stdout.buffer
    while start := sys.stdin.buffer.read(LENGTHS.size):
        header, rest = LENGTHS.unpack(start)
        work = json.loads(sys.stdin.buffer.read(header))
        sys.stdin.buffer.read(rest)
        if work["kind"] == "open" and work["model_id"] == "slow to open":
            time.sleep(2)
        names = [name for query in work["queries"] for name, _ in query["files"]]
        if "die" in names:
            sys.exit(3)
        if "sleep" in names:
            time.sleep(60)
        if "garbage" in names:
            out.write(LENGTHS.pack(4, 0) + b"[[[[")
            out.flush()
            continue
        if names.count("slow") > 1:
            time.sleep(0.5)
        body = str(len(work["queries"])).encode()
        facts = json.dumps([[200, "text/plain", 1, len(body)]] * len(work["queries"])).encode()
        out.write(LENGTHS.pack(len(facts), len(body) * len(work["queries"])) + facts)
        out.write(body * len(work["queries"]))
        out.flush()


if __name__ == "__main__":
    main()
