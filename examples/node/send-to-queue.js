// Put a send request onto the queue.
//
// Usage: QUEUE_URL=… AWS_REGION=… node send-to-queue.js REQUEST_ID DEVICE_ID TEXT
import { SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";

const [requestId, deviceId, content] = process.argv.slice(2);

try {
  const answer = await new SQSClient().send(
    new SendMessageCommand({
      QueueUrl: process.env.QUEUE_URL,
      // The gateway sends one message for a requestId, however often the request is put onto the queue.
      MessageBody: JSON.stringify({ requestId, deviceId, content }),
      // A FIFO queue keeps the messages of a group in order. A standard queue accepts a group too.
      MessageGroupId: deviceId,
    }),
  );
  console.log(`${requestId} is on the queue as ${answer.MessageId}`);
} catch (error) {
  console.error(`${requestId}: ${error.name}: ${error.message}`);
  process.exitCode = 1;
}
