import java.time.Duration;
import java.util.Properties;
import java.util.List;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** What the Java client takes from the broker when nothing is done with it. Prints seconds from the first record to the last. */
public final class JavaConsumer {
  /** Arguments: bootstrap servers, topic, count. */
  public static void main(String[] arguments) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", arguments[0]);
    settings.put("group.id", "java-consumer-" + System.nanoTime());
    settings.put("auto.offset.reset", "earliest");
    settings.put("enable.auto.commit", "false");
    settings.put("max.poll.records", "50000");
    settings.put("fetch.max.bytes", String.valueOf(50 << 20));
    settings.put("max.partition.fetch.bytes", String.valueOf(4 << 20));
    long count = Long.parseLong(arguments[2]);
    try (var consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      consumer.subscribe(List.of(arguments[1]));
      long records = 0;
      long first = 0;
      long start = 0;
      while (records < count) {
        records += consumer.poll(Duration.ofMillis(200)).count();
        if (start == 0 && records > 0) {
          start = System.nanoTime();
          first = records;
        }
      }
      double seconds = (System.nanoTime() - start) / 1e9;
      System.out.printf("{\"records\": %d, \"seconds\": %.3f}%n", records - first, seconds);
    }
  }
}
