import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneId;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** Kafka Streams: one processor, two RocksDB stores with changelogs, changed counts emitted once a second. */
public final class KafkaStreamsPeer {
  private static final ZoneId ALMATY = ZoneId.of("Asia/Almaty");
  private static final AtomicLong RECORDS = new AtomicLong();
  private static final JsonFactory JSON = new JsonFactory();

  /** Arguments: bootstrap servers, topic, results topic, state folder, count, application id, threads. */
  public static void main(String[] arguments) throws InterruptedException {
    long count = Long.parseLong(arguments[4]);
    Properties settings = new Properties();
    settings.put("bootstrap.servers", arguments[0]);
    settings.put("state.dir", arguments[3]);
    settings.put("application.id", arguments[5]);
    settings.put("num.stream.threads", arguments[6]);
    settings.put("auto.offset.reset", "earliest");
    settings.put("processing.guarantee", "at_least_once");
    settings.put("commit.interval.ms", "5000");
    settings.put("statestore.cache.max.bytes", String.valueOf(256L << 20));
    settings.put("max.poll.records", "5000");
    settings.put("buffered.records.per.partition", "10000");
    settings.put("producer.linger.ms", "50");
    settings.put("producer.batch.size", String.valueOf(1 << 19));
    settings.put("producer.buffer.memory", String.valueOf(128L << 20));
    settings.put("producer.compression.type", "lz4");
    Topology topology = new Topology();
    topology.addSource("events", Serdes.ByteArray().deserializer(), Serdes.ByteArray().deserializer(), arguments[1]);
    topology.addProcessor("fold", Fold::new, "events");
    // No cache: nearly every key is new, so a cache would only be another copy.
    topology.addStateStore(
        Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("known"), Serdes.ByteArray(), Serdes.ByteArray()), "fold");
    topology.addStateStore(
        Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("counts"), Serdes.String(), Serdes.Long())
            .withCachingEnabled(),
        "fold");
    topology.addSink("results", arguments[2], Serdes.String().serializer(), Serdes.String().serializer(), "fold");
    KafkaStreams streams = new KafkaStreams(topology, settings);
    CountDownLatch stopped = new CountDownLatch(1);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      streams.close(Duration.ofSeconds(10));
      stopped.countDown();
    }));
    streams.start();
    tell(count);
    stopped.await();
  }

  /** The first record, then once a second, then the last. */
  private static void tell(long count) throws InterruptedException {
    long told = 0;
    long at = 0;
    while (told < count) {
      long records = RECORDS.get();
      long now = System.currentTimeMillis();
      if (records >= count || records > 0 && (told == 0 || now - at > 1000)) {
        System.out.printf("{\"at\": %d.%03d, \"records\": %d}%n", now / 1000, now % 1000, records);
        System.out.flush();
        told = records;
        at = now;
      }
      Thread.sleep(5);
    }
  }

  private static final class Fold implements Processor<byte[], byte[], String, String> {
    private ProcessorContext<String, String> context;
    private KeyValueStore<byte[], byte[]> known;
    private KeyValueStore<String, Long> counts;
    private final Map<String, Long> changed = new HashMap<>();

    @Override
    public void init(ProcessorContext<String, String> context) {
      this.context = context;
      known = context.getStateStore("known");
      counts = context.getStateStore("counts");
      context.schedule(Duration.ofSeconds(1), PunctuationType.WALL_CLOCK_TIME, this::emit);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
      long version = 0;
      boolean counts = false;
      String moment = null, direction = null, citizenship = null, counterpart = null, purpose = null;
      try (JsonParser json = JSON.createParser(record.value())) {
        json.nextToken();
        while (json.nextToken() == JsonToken.FIELD_NAME) {
          String field = json.currentName();
          json.nextToken();
          switch (field) {
            case "version" -> version = json.getLongValue();
            case "action" -> counts = json.getText().equals("record");
            case "occurred_at" -> moment = json.getText();
            case "direction" -> direction = json.getText();
            case "citizenship" -> citizenship = json.getText();
            case "counterpart" -> counterpart = json.getText();
            case "purpose" -> purpose = json.getText();
            default -> { }
          }
        }
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
      byte[] before = known.get(record.key());
      if (before == null || version > ByteBuffer.wrap(before).getLong()) {
        String cell = "";
        if (counts) {
          String day = Instant.parse(moment).atZone(ALMATY).toLocalDate().toString();
          cell = String.join("|", day, direction, citizenship, counterpart, purpose);
        }
        byte[] text = cell.getBytes(StandardCharsets.UTF_8);
        known.put(record.key(), ByteBuffer.allocate(8 + text.length).putLong(version).put(text).array());
        if (before != null && before.length > 8) {
          count(new String(before, 8, before.length - 8, StandardCharsets.UTF_8), -1);
        }
        if (counts) {
          count(cell, 1);
        }
      }
      RECORDS.incrementAndGet();
    }

    private void count(String cell, long change) {
      Long now = counts.get(cell);
      long then = (now == null ? 0 : now) + change;
      counts.put(cell, then);
      changed.put(cell, then);
    }

    private void emit(long timestamp) {
      String partition = context.taskId().partition() + "|";
      changed.forEach((cell, n) -> context.forward(new Record<>(partition + cell, n.toString(), timestamp)));
      changed.clear();
    }
  }
}
