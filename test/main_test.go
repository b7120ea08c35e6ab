package test

import (
	"testing"

	"satchel/test/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }
