# SPDX-License-Identifier: MIT
"""testssl.sh, which knows what has ever been wrong with TLS: it finds nothing above "low".

What it asks about depends on no runtime, and takes many processes: once, and not beside a sanitizer.
"""
import json
import shutil
import subprocess

import pytest

import servers
from test_tls import LOCAL, launch, pair
from wire import SAN

#: Protocols, suites by strength, and every attack with a name.  The rest is about the certificate and the fields
#: of a page.
GROUPS = ["-p", "-s", "-U"]
#: About the OpenSSL that asks, not about who answers.
OUR_OWN = {"engine_problem"}
#: There at least, or something went wrong on the way.
EXPECTED = {"SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2", "TLS1_3", "ALPN_HTTP2", "cipherlist_NULL", "cipherlist_aNULL",
            "cipherlist_3DES_IDEA", "cipherlist_STRONG", "heartbleed", "CCS", "ticketbleed",
            "ROBOT", "secure_renego", "secure_client_renego", "CRIME_TLS", "BREACH", "POODLE_SSL", "SWEET32", "FREAK",
            "DROWN", "LOGJAM", "BEAST", "LUCKY13", "RC4"}


@pytest.mark.skipif(bool(SAN), reason="asks the same of another build")
@pytest.mark.skipif(len(servers.RUNTIMES) == 1 and servers.RUNTIMES[0] != "epoll", reason="once is enough")
def test_nothing_above_low(tmp_path):
    report = tmp_path / "report.json"
    with launch(*pair(servers.shared_certificate())) as s:
        r = subprocess.run([shutil.which("testssl"), "--quiet", "--color", "0", "--nodns", "none", "--ip", LOCAL,
                            "--warnings", "off", "--jsonfile", report, *GROUPS,
                            f"https://localhost:{s.addr[1]}/hello"], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False)
    found = json.loads(report.read_text())
    seen = {f["id"].split(" ")[0] for f in found}
    bad = [f for f in found if f["severity"] not in ("OK", "INFO", "LOW") and f["id"] not in OUR_OWN]
    assert not bad, bad
    assert EXPECTED <= seen, (EXPECTED - seen, r.stdout[-2000:])
