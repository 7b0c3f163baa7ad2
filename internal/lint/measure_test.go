package lint_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

func TestMeasure(t *testing.T) {
	all := requests()
	n, _ := strconv.Atoi(os.Getenv("N"))
	from, _ := strconv.Atoi(os.Getenv("FROM"))
	misses, found, bad := 0, 0, 0
	for seed := uint64(from); seed < uint64(from+n); seed++ {
		m, wrong, c := sweep(seed, all)
		misses, found, bad = misses+len(m), found+c, bad+len(wrong)
		for _, x := range m {
			fmt.Println("MISS", x)
		}
		for _, x := range wrong {
			fmt.Println("WRONG", x)
		}
	}
	fmt.Println("TOTAL", misses, found, bad)
}
