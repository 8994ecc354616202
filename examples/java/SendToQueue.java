import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpResponse;
import java.util.Map;

/**
 * Puts a send request onto the queue.
 *
 * <p>Usage: QUEUE_URL=… AWS_REGION=… java -cp out SendToQueue REQUEST_ID DEVICE_ID TEXT
 */
final class SendToQueue {
    public static void main(String[] arguments) throws Exception {
        String requestId = arguments[0], deviceId = arguments[1], queueUrl = System.getenv("QUEUE_URL");
        // The gateway sends one message for a requestId, however often the request is put onto the queue.
        String request = Json.object("requestId", requestId, "deviceId", deviceId, "content", arguments[2]);
        // A FIFO queue keeps the messages of a group in order. A standard queue accepts a group too.
        String body = Json.object("QueueUrl", queueUrl, "MessageBody", request, "MessageGroupId", deviceId);
        var headers = Map.of("content-type", "application/x-amz-json-1.0", "x-amz-target", "AmazonSQS.SendMessage");
        var client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        var signed = SigV4.post(URI.create(queueUrl).resolve("/"), "sqs", body, headers);
        var answer = client.send(signed, HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 200) {
            System.err.println(requestId + ": " + answer.statusCode() + " " + answer.body());
            System.exit(1);
        }
        System.out.println(requestId + " is on the queue: " + answer.body());
    }
}
