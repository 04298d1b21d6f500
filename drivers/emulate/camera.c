/* A GigE Vision camera that sees a simulated belt: serves the frames of a tape, one a pitch, through Aravis' fake camera.
 *
 * camera ADDRESS SERIAL XML FRAMES OFFSET CUPS WIDTH HEIGHT PIXEL_FORMAT T0_NS CUPS_PER_S LOST_RATIO
 *
 * FRAMES is a file of CUPS frames from OFFSET on. At each whole pitch of a belt that began to move at T0_NS
 * (CLOCK_MONOTONIC) the camera's Line1 rises; the frame is sent once it would have been read out. Says "ready" once it
 * answers; ends when its standard input ends, so that it cannot outlive whoever started it. A line of standard input,
 * "KIND FROM UNTIL", names something that goes wrong from one pitch until another, see `enum kind`.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <arv.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* How often Aravis looks for a trigger. */
#define LOOKS_PER_S 100.0
#define SECOND_NS 1000000000LL
#define NAP_NS 200000L
/* From the pulse to the first packet: a frame is exposed, then read out. */
#define READOUT_NS 10000000LL
#define GVCP_PORT 3956

#define MOST_FAULTS 256

/* What can go wrong, numbered as OVER_CAMERA in failing.py. */
enum kind { STALLS, TWICE, HALF, BLACK, WHITE, COLOURS_SWAPPED };

static struct fault {
	int kind;
	double from, until;
} faults[MOST_FAULTS];
static atomic_int n_faults;
static const unsigned char *frames;
static size_t frame_bytes;
static long long cups, t0_ns;
static double ns_a_cup;
static atomic_llong pitch_now;
static atomic_bool taken;
static ArvFakeCamera *camera;

static long long now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static long long pitch_ns(long long pitch)
{
	return t0_ns + (long long)(pitch * ns_a_cup);
}

static bool holds(enum kind kind, long long pitch)
{
	for (int i = 0; i < atomic_load(&n_faults); i++)
		if (faults[i].kind == (int)kind && faults[i].from <= pitch && pitch < faults[i].until)
			return true;
	return false;
}

/* A picture as a sensor that fails hands it over. */
static void spoil(unsigned char *picture, long long pitch)
{
	if (holds(BLACK, pitch))
		memset(picture, 0, frame_bytes);
	if (holds(WHITE, pitch))
		memset(picture, 255, frame_bytes);
	if (holds(HALF, pitch))
		memset(picture + frame_bytes / 2, 0, frame_bytes - frame_bytes / 2);
	if (holds(COLOURS_SWAPPED, pitch))
		memmove(picture + 1, picture, frame_bytes - 1);
}

/* Called by Aravis when a frame is to be sent. A free-running camera is stamped when it looks, a triggered one with its pitch. */
static void expose(ArvBuffer *buffer, void *unused, guint32 exposure_us, guint32 gain, ArvPixelFormat format)
{
	size_t unset;
	long long pitch = atomic_load(&pitch_now);
	gboolean free_running = arv_fake_camera_is_in_free_running_mode(camera);

	(void)unused, (void)exposure_us, (void)gain, (void)format;
	memcpy((void *)arv_buffer_get_data(buffer, &unset), frames + (size_t)(pitch % cups) * frame_bytes, frame_bytes);
	spoil((void *)arv_buffer_get_data(buffer, &unset), pitch);
	arv_buffer_set_timestamp(buffer, free_running ? now_ns() : pitch_ns(pitch));
	atomic_store(&taken, true);
}

static void sleep_until(long long when_ns)
{
	struct timespec when = {when_ns / SECOND_NS, when_ns % SECOND_NS};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL))
		;
}

/* Takes the place of GLib's in Aravis. Aravis waits by whole milliseconds, and would spin through the last one before each look. */
gint g_poll(GPollFD *fds, guint n, gint timeout_ms)
{
	struct timespec wait = {timeout_ms / 1000, timeout_ms ? timeout_ms % 1000 * 1000000L : NAP_NS};

	return ppoll((struct pollfd *)fds, n, timeout_ms < 0 ? NULL : &wait, NULL);
}

/* Whether somebody waits for triggered frames. */
static gboolean is_armed(void)
{
	return arv_fake_camera_get_acquisition_status(camera) && arv_fake_camera_is_in_software_trigger_mode(camera);
}

static void trigger(void)
{
	atomic_store(&taken, false);
	arv_fake_camera_write_register(camera, ARV_FAKE_CAMERA_REGISTER_TRIGGER_SOFTWARE, 1);
	while (!atomic_load(&taken) && is_armed())
		sleep_until(now_ns() + SECOND_NS / 1000);
	arv_fake_camera_write_register(camera, ARV_FAKE_CAMERA_REGISTER_TRIGGER_SOFTWARE, 0);
}

/* The belt: has the frame of each pitch sent when it has been read out; later on a busy machine, but none is left out. */
static void *run_belt(void *unused)
{
	long long pitch = now_ns() < t0_ns ? 0 : (long long)((now_ns() - t0_ns) / ns_a_cup) + 1;

	(void)unused;
	for (;; pitch++) {
		sleep_until(pitch_ns(pitch) + READOUT_NS);
		atomic_store(&pitch_now, pitch);
		if (!is_armed() || holds(STALLS, pitch))
			continue;
		trigger();
		if (holds(TWICE, pitch))
			trigger();
	}
	return NULL;
}

/* Whether anybody listens where a camera at this address does. */
static bool is_served(const char *address)
{
	struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(GVCP_PORT)};
	int probe = socket(AF_INET, SOCK_DGRAM, 0);
	bool served;

	inet_pton(AF_INET, address, &where.sin_addr);
	served = bind(probe, (struct sockaddr *)&where, sizeof where) && errno == EADDRINUSE;
	close(probe);
	return served;
}

/* Keep an address for this process: two that look at once whether it is free must not both find it so. */
static bool claim(const char *address)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int length = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "citrus_grade camera at %s", address);

	return !bind(socket(AF_UNIX, SOCK_DGRAM, 0), (struct sockaddr *)&name, offsetof(struct sockaddr_un, sun_path) + 1 + length);
}

/* Aravis does not mind a port that another has, nor one that another looks at just then; in neither case does it answer. */
static ArvGvFakeCamera *listen_at(const char *address, const char *serial, const char *features)
{
	if (!claim(address))
		return NULL;
	for (int tries = 0; tries < 5 && !is_served(address); tries++) {
		ArvGvFakeCamera *server = arv_gv_fake_camera_new_full(address, serial, features);

		if (server && arv_gv_fake_camera_is_running(server) && is_served(address))
			return server;
		g_clear_object(&server);
		usleep(20000);
	}
	return NULL;
}

static int fail(const char *what, const char *which)
{
	fprintf(stderr, "%s: %s\n", what, which);
	return 1;
}

int main(int argc, char **argv)
{
	ArvGvFakeCamera *server;
	struct stat file;
	size_t offset;
	int width, height, format, descriptor;
	char line[128];

	if (argc != 13)
		return fail("arguments", "ADDRESS SERIAL XML FRAMES OFFSET CUPS WIDTH HEIGHT PIXEL_FORMAT T0_NS CUPS_PER_S LOST_RATIO");
	offset = strtoull(argv[5], NULL, 10);
	cups = atoll(argv[6]);
	width = atoi(argv[7]);
	height = atoi(argv[8]);
	format = (int)strtol(argv[9], NULL, 0);
	t0_ns = atoll(argv[10]);
	ns_a_cup = 1e9 / atof(argv[11]);
	frame_bytes = (size_t)width * height * ARV_PIXEL_FORMAT_BIT_PER_PIXEL(format) / 8;

	descriptor = open(argv[4], O_RDONLY);
	if (descriptor < 0 || fstat(descriptor, &file) || (size_t)file.st_size < offset + cups * frame_bytes)
		return fail("not a file of so many frames", argv[4]);
	frames = mmap(NULL, file.st_size, PROT_READ, MAP_SHARED, descriptor, 0);
	if (frames == MAP_FAILED)
		return fail("cannot be mapped", argv[4]);
	frames += offset;

	server = listen_at(argv[1], argv[2], argv[3]);
	if (!server)
		return fail("no camera can listen at UDP port 3956 of this address", argv[1]);
	g_object_set(server, "gvsp-lost-ratio", atof(argv[12]), NULL);
	camera = arv_gv_fake_camera_get_fake_camera(server);
	arv_fake_camera_write_register(camera, ARV_FAKE_CAMERA_REGISTER_SENSOR_WIDTH, width);
	arv_fake_camera_write_register(camera, ARV_FAKE_CAMERA_REGISTER_SENSOR_HEIGHT, height);
	arv_fake_camera_write_register(camera, ARV_FAKE_CAMERA_REGISTER_WIDTH, width);
	arv_fake_camera_write_register(camera, ARV_FAKE_CAMERA_REGISTER_HEIGHT, height);
	arv_fake_camera_write_register(camera, ARV_FAKE_CAMERA_REGISTER_PIXEL_FORMAT, format);
	arv_fake_camera_write_register(camera, ARV_FAKE_CAMERA_REGISTER_TRIGGER_SOURCE, 1);
	arv_fake_camera_set_trigger_frequency(camera, LOOKS_PER_S);
	arv_fake_camera_set_fill_pattern(camera, expose, NULL);
	g_thread_new("belt", run_belt, NULL);

	puts("ready");
	fflush(stdout);
	/* What Aravis says from here on would one day fill a pipe that nobody reads. */
	if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
		return 1;
	while (fgets(line, sizeof line, stdin)) {
		struct fault *next = &faults[atomic_load(&n_faults)];

		if (next < faults + MOST_FAULTS && sscanf(line, "%d %lf %lf", &next->kind, &next->from, &next->until) == 3)
			atomic_fetch_add(&n_faults, 1);
	}
	/* Straight out: Aravis' thread may be in the middle of a frame, and nothing here outlives the process. */
	_exit(0);
}
