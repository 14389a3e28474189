package recorder

import (
	"testing"

	"gatehouse/internal/store/postgrestest"
)

func TestOnPostgres(t *testing.T) {
	postgrestest.Again(t, []func(*testing.T){
		TestOneSearchSeesAllNodes, TestP10_WithoutTheTenantsKeyNothingIsRead, TestTheOldestGoFirst, TestStrangersPushOutNobody, TestWhatThereIsNoRoomForIsCounted,
		TestWhatCannotBeWrittenWaits, TestP8_TheEndWritesWhatWaits, TestDetailsAreBounded, TestALargeBodyIsKept, TestWhatIsLargeIsPrunedSoon, TestWhatIsMuchIsWrittenInSteps, TestErasing, TestTenantsAreWrittenTogether, TestAPanicEndsNothing, TestWhoHasTheMostGivesUp,
	}, "TestThirtyDays")
}
