"""Waits for the end of the LocustTest of `helm test`, and fails unless it is Succeeded.

It runs in the Locust image, which has Python but no kubectl, so it asks the API server itself.
"""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request

account = os.environ.get("SERVICE_ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount")
api = os.environ.get("API_SERVER", "https://kubernetes.default.svc")
url = f"{api}/apis/locust.io/v2/namespaces/{os.environ['TEST_NAMESPACE']}/locusttests/{os.environ['TEST_NAME']}"
context = ssl.create_default_context(cafile=f"{account}/ca.crt")


def get():
    # The kubelet renews the token, so it is read each time.
    with open(f"{account}/token", encoding="utf-8") as file:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {file.read()}"})
    with urllib.request.urlopen(request, timeout=10, context=context) as response:
        return json.load(response)


seen = None
# The pod's activeDeadlineSeconds ends this loop if the test never ends.
while True:
    try:
        status = get().get("status", {})
    except OSError as error:
        print(f"GET {url}: {error}", flush=True)
        # The permission may take a moment to reach the API server, but a missing test does not appear.
        if isinstance(error, urllib.error.HTTPError) and error.code == 404:
            sys.exit(1)
        status = {}
    phase = status.get("phase", seen)
    if phase != seen:
        print(phase, flush=True)
        seen = phase
    if phase in ("Succeeded", "Failed"):
        for condition in status.get("conditions", []):
            print(f"{condition['type']}={condition['status']}: {condition['reason']}: {condition['message']}")
        sys.exit(phase != "Succeeded")
    time.sleep(float(os.environ.get("POLL_SECONDS", "2")))
