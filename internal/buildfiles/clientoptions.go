package buildfiles

import (
	"encoding/csv"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
)

// addAttest adds an attestation such as "type=sbom,generator=IMAGE" as buildx does
// (util/buildflags/attests.go). The last one of each type counts. ok is false if it can't be read.
func (d *described) addAttest(text string) (ok bool) {
	fields, ok := fieldsOf(text)
	kind, disabled := fields["type"], false
	if value, is := fields["disabled"]; is {
		var err error
		disabled, err = strconv.ParseBool(value)
		ok = ok && err == nil
	}
	switch {
	case !ok || kind == "":
		return false
	case disabled:
		delete(d.options, "attest:"+kind)
	default:
		delete(fields, "disabled")
		d.options["attest:"+kind] = textFrom(fields)
	}
	return true
}

// addCaches adds the caches that a build reads, as the client of BuildKit does (client/solve.go).
// An entry without "=" lists caches in registries. ok is false if one can't be read.
func (d *described) addCaches(entries []string) (ok bool) {
	type cache struct {
		Type  string
		Attrs map[string]string
	}
	caches := []cache{}
	for _, text := range entries {
		if !strings.Contains(text, "=") {
			for ref := range strings.SplitSeq(text, ",") {
				caches = append(caches, cache{"registry", map[string]string{"ref": ref}})
			}
			continue
		}
		fields, ok := fieldsOf(text)
		if !ok || fields["type"] == "" {
			return false
		}
		c := cache{fields["type"], fields}
		delete(fields, "type")
		caches = append(caches, c)
	}
	if len(caches) == 0 {
		return true
	}
	value, err := json.Marshal(caches)
	d.options["cache-imports"] = string(value)
	return err == nil
}

// addSharedMemory adds the size of /dev/shm, such as 64m. ok is false if it isn't a size.
func (d *described) addSharedMemory(size string) (ok bool) {
	n, err := units.RAMInBytes(size)
	if err == nil && n > 0 {
		d.options["shm-size"] = strconv.FormatInt(n, 10)
	}
	return err == nil
}

// addNoCache adds that no stage, or none of some stages, has its result from a cache. all is a
// boolean or "". ok is false if it is something else.
func (d *described) addNoCache(all string, stages []string) (ok bool) {
	if len(stages) > 0 {
		d.options["no-cache"] = strings.Join(stages, ",")
	}
	is, ok := boolean(all)
	if is {
		d.options["no-cache"] = ""
	}
	return ok
}

// addPull adds that images are looked up again, if the boolean says so.
func (d *described) addPull(text string) (ok bool) {
	is, ok := boolean(text)
	if is {
		d.options["image-resolve-mode"] = "pull"
	}
	return ok
}

// addCall adds what the build answers instead of building (util/buildflags/callfunc.go in buildx).
func (d *described) addCall(text string) {
	name, _, _ := strings.Cut(text, ",")
	switch name {
	case "", "build":
		return
	case "check":
		name = "lint"
	}
	d.options["requestid"] = "frontend." + name
}

// boolean reads a boolean; "" is false.
func boolean(text string) (value, ok bool) {
	if text == "" {
		return false, true
	}
	value, err := strconv.ParseBool(text)
	return value, err == nil
}

// fieldsOf reads a text such as type=registry,ref=REF. The keys are in lower case.
func fieldsOf(text string) (fields map[string]string, ok bool) {
	record, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return nil, false
	}
	fields = map[string]string{}
	for _, field := range record {
		key, value, ok := strings.Cut(field, "=")
		if !ok {
			return nil, false
		}
		fields[strings.ToLower(strings.TrimSpace(key))] = value
	}
	return fields, true
}

// textFrom writes fields as a text that [fieldsOf] reads.
func textFrom(fields map[string]string) string {
	var record []string
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		record = append(record, key+"="+fields[key])
	}
	var b strings.Builder
	w := csv.NewWriter(&b)
	_ = w.Write(record) // a Builder takes all
	w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}
