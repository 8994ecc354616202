import java.net.URI;
import java.net.http.HttpRequest;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** POST requests with JSON to URLs without a query, signed for AWS with Signature Version 4. */
final class SigV4 {
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'");

    /** The path has letters, digits, hyphens, underscores and slashes. Names of headers are in lower case. */
    static HttpRequest post(URI url, String service, String body, Map<String, String> headers)
            throws GeneralSecurityException {
        String at = TIME.format(Instant.now().atOffset(ZoneOffset.UTC));
        var signed = new TreeMap<String, String>(headers);
        signed.put("x-amz-date", at);
        String token = System.getenv("AWS_SESSION_TOKEN");
        if (token != null) signed.put("x-amz-security-token", token);
        // API Gateway answers within 29 seconds.
        var request = HttpRequest.newBuilder(url).timeout(Duration.ofSeconds(35));
        signed.forEach(request::header);
        // The client adds this one itself.
        signed.put("host", url.getAuthority());
        String names = String.join(";", signed.keySet());
        var canonical = new StringBuilder("POST\n" + url.getPath() + "\n\n");
        signed.forEach((name, value) -> canonical.append(name).append(':').append(value).append('\n'));
        canonical.append('\n').append(names).append('\n').append(sha256(body));
        String scope = String.join("/", at.substring(0, 8), System.getenv("AWS_REGION"), service, "aws4_request");
        byte[] key = utf8("AWS4" + System.getenv("AWS_SECRET_ACCESS_KEY"));
        for (String part : scope.split("/")) key = hmac(key, part);
        byte[] signature = hmac(key, String.join("\n", "AWS4-HMAC-SHA256", at, scope, sha256(canonical.toString())));
        request.header("Authorization", "AWS4-HMAC-SHA256 Credential=" + System.getenv("AWS_ACCESS_KEY_ID") + "/"
                + scope + ", SignedHeaders=" + names + ", Signature=" + HexFormat.of().formatHex(signature));
        return request.POST(HttpRequest.BodyPublishers.ofString(body)).build();
    }

    private static String sha256(String text) throws GeneralSecurityException {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(utf8(text)));
    }

    private static byte[] hmac(byte[] key, String text) throws GeneralSecurityException {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        return mac.doFinal(utf8(text));
    }

    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
