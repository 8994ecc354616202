// Send a message through the REST API, and wait for its outcome.
//
// Usage: API_URL=… AWS_REGION=… node call-api.js REQUEST_ID DEVICE_ID TEXT
import { Sha256 } from "@aws-crypto/sha256-js";
import { defaultProvider } from "@aws-sdk/credential-provider-node";
import { SignatureV4 } from "@smithy/signature-v4";

const [requestId, deviceId, content] = process.argv.slice(2);
const url = new URL(`${process.env.API_URL}/messages`);
const body = JSON.stringify({ requestId, deviceId, content });

const signer = new SignatureV4({
  service: "execute-api",
  region: process.env.AWS_REGION,
  credentials: defaultProvider(),
  sha256: Sha256,
});
const { headers } = await signer.sign({
  method: "POST",
  protocol: url.protocol,
  hostname: url.hostname,
  path: url.pathname,
  headers: { host: url.host, "content-type": "application/json" },
  body,
});

// API Gateway answers within 29 seconds.
const timeout = AbortSignal.timeout(35_000);
const answer = await fetch(url, { method: "POST", headers, body, signal: timeout }).catch((error) => {
  console.error(`${requestId}: repeat the call with the same requestId, ${error.cause ?? error}`);
  process.exit(1);
});
if (answer.ok) {
  console.log(`${requestId} is ${(await answer.json()).state}`);
} else {
  console.error(`${requestId}: ${await reason(answer)}`);
  process.exitCode = 1;
}

async function reason(answer) {
  if (!answer.headers.get("content-type")?.includes("problem+json")) {
    // API Gateway refuses a call in its own form, for example one that is not signed well.
    return `${answer.status} ${await answer.text()}`;
  }
  const { title, detail } = await answer.json();
  // After this time the call can be repeated, with the same requestId.
  const wait = answer.headers.get("retry-after");
  return `${answer.status} ${title}: ${detail}${wait ? ` (repeat it after ${wait} s)` : ""}`;
}
