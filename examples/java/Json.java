/** Writes the two JSON objects of these examples. A service of yours has a library for it. */
final class Json {
    /** Return an object of these names and values, one after the other. */
    static String object(String... members) {
        var json = new StringBuilder("{");
        for (int n = 0; n < members.length; n += 2)
            json.append(n == 0 ? "" : ",").append(string(members[n])).append(':').append(string(members[n + 1]));
        return json.append('}').toString();
    }

    private static String string(String text) {
        var json = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c < ' ') json.append(String.format("\\u%04x", (int) c));
            else json.append(c == '"' || c == '\\' ? "\\" : "").append(c);
        }
        return json.append('"').toString();
    }
}
