import java.sql.*;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.*;

/** The JDBC driver against the server; prints a line for each thing that it found. */
public class Client {
    public static void main(String[] args) throws Exception {
        var url = "jdbc:postgresql://127.0.0.1:" + args[0] + "/anything?user=anybody&ApplicationName=jdbc";
        try (var connection = DriverManager.getConnection(url)) {
            var metadata = connection.getMetaData();
            System.out.println("product " + metadata.getDatabaseProductName() + " " + metadata.getDatabaseMajorVersion());
            try (var tables = metadata.getTables(null, "public", "%", new String[] {"TABLE", "VIEW"})) {
                while (tables.next()) System.out.println("table " + tables.getString("TABLE_NAME") + " | " + tables.getString("REMARKS"));
            }
            try (var columns = metadata.getColumns(null, "public", "events", "%")) {
                while (columns.next()) System.out.println("column " + columns.getString("COLUMN_NAME") + " " + columns.getString("TYPE_NAME") + " " + columns.getInt("NULLABLE"));
            }
            try (var keys = metadata.getPrimaryKeys(null, "public", "events")) { check(!keys.next(), "no keys"); }
            try (var schemas = metadata.getSchemas()) {
                while (schemas.next()) System.out.println("schema " + schemas.getString(1));
            }
            var counting = "SELECT event_type, count(*) AS n FROM events GROUP BY event_type ORDER BY event_type";
            try (var statement = connection.createStatement(); var rows = statement.executeQuery(counting)) {
                while (rows.next()) System.out.println("text " + rows.getString(1) + " " + rows.getLong(2));
            }
            // From the fifth run on the driver names the statement and asks for binary.
            try (var statement = connection.prepareStatement("SELECT count(*), min(occurred_at), max(occurred_at) FROM events WHERE event_type = ? AND occurred_at >= ?")) {
                for (int run = 0; run < 8; run++) {
                    statement.setString(1, "onboarding.session.started");
                    statement.setObject(2, OffsetDateTime.of(2000, 1, 1, 0, 0, 0, 0, ZoneOffset.UTC));
                    try (var rows = statement.executeQuery()) {
                        rows.next();
                        check(rows.getObject(2, OffsetDateTime.class).getYear() > 2000, "a time");
                        System.out.println("prepared " + rows.getLong(1));
                    }
                }
            }
            try (var statement = connection.prepareStatement("SELECT ?::bigint, ?::double precision, ?::text, ?::boolean, ?::date, ?::numeric(10,2), ?::timestamp, ?::bytea")) {
                for (int run = 0; run < 7; run++) {
                    statement.setLong(1, 1L << 40);
                    statement.setDouble(2, 1.25);
                    statement.setString(3, "it's");
                    statement.setBoolean(4, true);
                    statement.setDate(5, java.sql.Date.valueOf("2026-03-01"));
                    statement.setBigDecimal(6, new java.math.BigDecimal("12.50"));
                    statement.setTimestamp(7, Timestamp.valueOf("2026-03-01 10:00:00.25"));
                    statement.setBytes(8, new byte[] {0, -1});
                    try (var rows = statement.executeQuery()) {
                        rows.next();
                        check(rows.getLong(1) == 1L << 40, "bigint");
                        check(rows.getDouble(2) == 1.25, "double");
                        check(rows.getString(3).equals("it's"), "text");
                        check(rows.getBoolean(4), "boolean");
                        check(rows.getDate(5).toString().equals("2026-03-01"), "date");
                        check(rows.getBigDecimal(6).compareTo(new java.math.BigDecimal("12.5")) == 0, "numeric");
                        check(rows.getTimestamp(7).equals(Timestamp.valueOf("2026-03-01 10:00:00.25")), "timestamp");
                        check(Arrays.equals(rows.getBytes(8), new byte[] {0, -1}), "bytes");
                    }
                }
            }
            try (var statement = connection.createStatement(); var rows = statement.executeQuery("SELECT stage_at FROM sessions WHERE stage_at[1] IS NOT NULL LIMIT 1")) {
                rows.next();
                check(((Object[]) rows.getArray(1).getArray())[0] instanceof Timestamp, "an array of times");
            }
            // In portions, as a cursor.
            connection.setAutoCommit(false);
            try (var statement = connection.createStatement()) {
                statement.setFetchSize(100);
                int count = 0;
                try (var rows = statement.executeQuery("SELECT id FROM events")) { while (rows.next()) count++; }
                System.out.println("portions " + count);
            }
            connection.commit();
            state(connection, "DROP TABLE events", "42501");
            connection.rollback();
            connection.setAutoCommit(true);
            state(connection, "SELECT * FROM nowhere", "42P01");
            try (var statement = connection.createStatement()) {
                statement.setQueryTimeout(1);
                try {
                    statement.executeQuery("SELECT count(*) FROM events a, events b, events c, events d WHERE a.id < b.data");
                    throw new AssertionError("it was not cancelled");
                } catch (SQLException error) { check("57014".equals(error.getSQLState()), error.toString()); }
            }
            connection.setReadOnly(true);
            check(connection.isValid(5), "it lives on");
        }
        System.out.println("done");
    }

    static void state(Connection connection, String sql, String state) throws SQLException {
        try (var statement = connection.createStatement()) {
            statement.execute(sql);
            throw new AssertionError(sql + " was run");
        } catch (SQLException error) { check(state.equals(error.getSQLState()), sql + ": " + error); }
    }

    static void check(boolean holds, String what) {
        if (!holds) throw new AssertionError(what);
    }
}
