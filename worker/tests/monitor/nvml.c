/* A libnvidia-ml for tests: two cards whose values the test sets, by the names and layouts of NVIDIA's API reference. */
#include <string.h>
#include <time.h>

enum {
    SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9, TIMEOUT = 10, GPU_IS_LOST = 15
};
enum { CARDS = 2, XID_CRITICAL_ERROR = 8, NOT_TOLD = -1 };

typedef struct { unsigned gpu, memory; } Utilization;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } Memory;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } Process;
typedef struct { void *device; unsigned long long type, data; unsigned gpu_instance, compute_instance; } Event;

/* What the test sets; NOT_TOLD: the card does not know it. */
static struct {
    const char *name;
    long long value;
} values[] = {
    {"driver", 1}, {"lost", 0}, {"inits", 0}, {"events", 1}, {"xid", 0}, {"utilisation", 50}, {"memory_used", 4000000000},
    {"power_mw", 250000}, {"limit_mw", 700000}, {"energy_mj", 0}, {"temperature", 60}, {"sm_clock", 1980}, {"memory_clock", 2619},
    {"throttle", 0}, {"ecc_corrected", 3}, {"ecc_uncorrected", 0}, {"process_1", 0}, {"process_2", 0}, {"asked", NOT_TOLD},
};

static long long *find(const char *name) {
    for (unsigned i = 0; i < sizeof values / sizeof *values; i++)
        if (!strcmp(values[i].name, name)) return &values[i].value;
    return 0;
}

int fake_set(const char *name, long long value) {
    long long *place = find(name);
    if (!place) return INVALID_ARGUMENT;
    *place = value;
    return SUCCESS;
}

long long fake_get(const char *name) {
    long long *place = find(name);
    return place ? *place : NOT_TOLD;
}

static int reach(void) { return *find("lost") ? GPU_IS_LOST : SUCCESS; }

static int tell(const char *name, long long *value) {
    int code = reach();
    if (code) return code;
    *value = *find(name);
    return *value == NOT_TOLD ? NOT_SUPPORTED : SUCCESS;
}

static int tell_unsigned(const char *name, unsigned *value) {
    long long told;
    int code = tell(name, &told);
    if (!code) *value = (unsigned)told;
    return code;
}

static char cards[CARDS];
static const char *uuids[CARDS] = {"GPU-00000000-1111-2222-3333-444444444444", "GPU-5a2f0b1c-aaaa-bbbb-cccc-dddddddddddd"};

int nvmlInit_v2(void) {
    if (!*find("driver")) return DRIVER_NOT_LOADED;
    ++*find("inits");
    return SUCCESS;
}
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int code) { (void)code; return "an error"; }
int nvmlSystemGetDriverVersion(char *text, unsigned length) { return strncpy(text, "580.00.01", length), SUCCESS; }
int nvmlDeviceGetCount_v2(unsigned *count) { return *count = CARDS, SUCCESS; }

static int handle(unsigned index, void **device) {
    if (index >= CARDS) return INVALID_ARGUMENT;
    *find("asked") = index;
    *device = &cards[index];
    return reach();
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { return handle(index, device); }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    for (unsigned i = 0; i < CARDS; i++)
        if (!strcmp(uuids[i], uuid)) return handle(i, device);
    return NOT_FOUND;
}
int nvmlDeviceGetUUID(void *device, char *text, unsigned length) { return strncpy(text, uuids[(char *)device - cards], length), SUCCESS; }
int nvmlDeviceGetName(void *device, char *text, unsigned length) { (void)device; return strncpy(text, "Test Card", length), SUCCESS; }

int nvmlDeviceGetUtilizationRates(void *device, Utilization *rates) { (void)device; return tell_unsigned("utilisation", &rates->gpu); }
int nvmlDeviceGetMemoryInfo_v2(void *device, Memory *memory) {
    long long used;
    int code = tell("memory_used", &used);
    (void)device;
    if (code) return code;
    memory->total = 80000000000, memory->used = (unsigned long long)used, memory->free = memory->total - memory->used, memory->reserved = 0;
    return SUCCESS;
}
int nvmlDeviceGetPowerUsage(void *device, unsigned *mw) { (void)device; return tell_unsigned("power_mw", mw); }
int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *mw) { (void)device; return tell_unsigned("limit_mw", mw); }
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj) {
    long long told;
    int code = tell("energy_mj", &told);
    (void)device;
    if (!code) *mj = (unsigned long long)told;
    return code;
}
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *degrees) { (void)device, (void)sensor; return tell_unsigned("temperature", degrees); }
int nvmlDeviceGetClockInfo(void *device, int kind, unsigned *mhz) { (void)device; return tell_unsigned(kind == 2 ? "memory_clock" : "sm_clock", mhz); }
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *reasons) {
    long long told;
    int code = tell("throttle", &told);
    (void)device;
    if (!code) *reasons = (unsigned long long)told;
    return code;
}
int nvmlDeviceGetTotalEccErrors(void *device, int kind, int counter, unsigned long long *errors) {
    long long told;
    int code = tell(kind == 0 ? "ecc_corrected" : "ecc_uncorrected", &told);
    (void)device, (void)counter;
    if (!code) *errors = (unsigned long long)told;
    return code;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, Process *processes) {
    int code = reach();
    unsigned found = 0;
    (void)device;
    if (code) return code;
    for (int i = 0; i < 2; i++) {
        long long pid = *find(i ? "process_2" : "process_1");
        if (!pid) continue;
        if (processes && found < *count) processes[found] = (Process){(unsigned)pid, 1000000000ull * (i + 1), ~0u, ~0u};
        found++;
    }
    code = found > *count ? INSUFFICIENT_SIZE : SUCCESS;
    *count = found;
    return code;
}

int nvmlEventSetCreate(void **set) { return *set = &cards[0], SUCCESS; }
int nvmlEventSetFree(void *set) { (void)set; return SUCCESS; }
int nvmlDeviceRegisterEvents(void *device, unsigned long long types, void *set) {
    (void)device, (void)set;
    return *find("events") && types == XID_CRITICAL_ERROR ? SUCCESS : NOT_SUPPORTED;
}
int nvmlEventSetWait_v2(void *set, Event *event, unsigned timeout_ms) {
    long long *xid = find("xid");
    int code = reach();
    (void)set;
    if (code) return code;
    if (!*xid) {
        nanosleep(&(struct timespec){0, timeout_ms * 1000000L}, 0);
        return TIMEOUT;
    }
    *event = (Event){&cards[0], XID_CRITICAL_ERROR, (unsigned long long)*xid, ~0u, ~0u};
    *xid = 0;
    return SUCCESS;
}
