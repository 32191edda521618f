"""Property test: whatever a client makes up from the API document, the answer is documented.

Every check that schemathesis has is on: no 5xx, documented statuses, media types, headers and
bodies, bad input refused, good input taken, methods that are not served refused.
"""
