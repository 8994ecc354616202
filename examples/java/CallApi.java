import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpResponse;
import java.util.Map;

/**
 * Sends a message through the REST API, and waits for its outcome.
 *
 * <p>Usage: API_URL=… AWS_REGION=… java -cp out CallApi REQUEST_ID DEVICE_ID TEXT
 */
final class CallApi {
    public static void main(String[] arguments) throws Exception {
        String requestId = arguments[0];
        String body = Json.object("requestId", requestId, "deviceId", arguments[1], "content", arguments[2]);
        var request = SigV4.post(URI.create(System.getenv("API_URL") + "/messages"), "execute-api", body,
                Map.of("content-type", "application/json"));
        var client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        HttpResponse<String> answer;
        try {
            answer = client.send(request, HttpResponse.BodyHandlers.ofString());
        } catch (IOException error) {
            System.err.println(requestId + ": repeat the call with the same requestId, " + error);
            System.exit(1);
            return;
        }
        if (answer.statusCode() != 200) {
            System.err.println(requestId + ": " + reason(answer));
            System.exit(1);
        }
        // The record of the message, with its state.
        System.out.println(requestId + ": " + answer.body());
    }

    /** Return what an error answer says: a problem of the gateway, or API Gateway's own form. Both are JSON. */
    private static String reason(HttpResponse<String> answer) {
        // After this time the call can be repeated, with the same requestId.
        String wait = answer.headers().firstValue("retry-after").map(s -> " (repeat it after " + s + " s)").orElse("");
        return answer.statusCode() + " " + answer.body() + wait;
    }
}
