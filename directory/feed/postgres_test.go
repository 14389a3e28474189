package feed_test

import (
	"testing"

	"gatehouse/internal/store/postgrestest"
)

func TestOnPostgres(t *testing.T) {
	postgrestest.Again(t, []func(*testing.T){
		TestEveryChangeIsToldInItsOrder, TestSignInsAreToldOf, TestWhoIsNotThereAfterAllIsNotToldOf, TestNothingIsSkippedWhileManyWrite,
		TestALargeGroupIsToldOfByWhatChanges, TestWhatIsNotCommittedIsNotTold, TestAnOldCursorIsGone, TestWhatIsKeptIsBoundedByItsSize, TestAPageIsReadByItsSize, TestACursorFromAnotherTimelineIsGone,
		TestP3_ChangesAreTheirTenants, TestP1_NothingIsToldWithoutItsRecord, TestWhoWaitsIsToldOnceAndEndsWithTheGateway, TestWhoIsErasedHasNoName,
	})
}
