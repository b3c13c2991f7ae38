#!/usr/bin/env bash
# aws-lambda-powertools 3.37.0 (PyPI), its event class for API Gateway's TOKEN authorizers.
#
# A request's path has a `:`, as in `POST /orders/7:cancel`: legal in RFC 3986, section 3.3, and the form of custom methods
# in Google's API guide (AIP-136). The method ARN is the last of six parts that `:` separates, so the path of the
# ARN holds the `:`.
#
# The likely guess: `parsed_arn.resource` is `orders/7:cancel`, and `parsed_arn.arn` is the ARN that came in.
#
# What happens: the ARN is split at every `:`, and all that follows one in the path is dropped, without an error. An
# authorizer that looks at the parsed path decides about `orders/7`, another resource. And the policy
# cannot name the right one: `allow_route("POST", "/orders/7:cancel")` raises a ValueError, as it does
# for `~`, `@` and `%`.
#
# Exit 0: as described. 1: it has changed. 2: it could not be tried.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check aws-lambda-powertools==3.37.0 || exit 2
cat > "$folder/case.py" << 'END'
import sys
from aws_lambda_powertools.utilities.data_classes.api_gateway_authorizer_event import (
    APIGatewayAuthorizerResponse,
    APIGatewayAuthorizerTokenEvent,
)

ARN = "arn:aws:execute-api:us-east-1:123456789012:abcdef1234/prod/POST/orders/7:cancel"
event = APIGatewayAuthorizerTokenEvent({"type": "TOKEN", "authorizationToken": "x", "methodArn": ARN})
parsed = event.parsed_arn
policy = APIGatewayAuthorizerResponse(
    principal_id="me",
    region=parsed.region,
    aws_account_id=parsed.aws_account_id,
    api_id=parsed.api_id,
    stage=parsed.stage,
)
refused = []
for path in ["/orders/7:cancel", "/orders/~me", "/orders/a@b", "/orders/a%2Fb"]:
    try:
        policy.allow_route("POST", path)
    except ValueError:
        refused.append(path)
print("came in:", ARN)
print("parsed: ", parsed.arn, "| resource:", parsed.resource)
print("allow_route raises for:", refused)
sys.exit(0 if parsed.resource == "orders/7" and parsed.arn != ARN and len(refused) == 4 else 1)
END
"$folder/venv/bin/python" "$folder/case.py"
