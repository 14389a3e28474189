package brake_test

import (
	"testing"

	"gatehouse/internal/store/postgrestest"
)

func TestOnPostgres(t *testing.T) {
	postgrestest.Again(t, []func(*testing.T){
		TestItIsHeldAtTheExactPerson, TestABulkIsHeldAtTheExactPerson, TestACircleThatIsUndoneIsNoDeparture, TestWhatGoesOnWhileItIsHeld, TestAdminsAreNotCounted, TestWhoIsBackHasNotLeft, TestOnlyTheWindowCounts, TestAFewMayAlwaysGo,
		TestSwitchedOff, TestARelease, TestARejection, TestAReset, TestDecisionsThatAreRefused, TestNodesCountTogether, TestANodeThatIsOvertakenPlansAgain, TestP1_NothingIsHeldOrDecidedWithoutItsRecord,
		TestWhoRunsTheGatewayKnows, TestWhatDoesNotCountAnyMoreIsSwept, TestEmptyingAGroupThatGivesARoleIsHeld, TestWhoLosesTheirLastRoleCounts, TestWhoIsMovedHasARole, TestEmptyingALargeGroupIsHeld, TestAGroupThatIsTakenBackIsNoLoss, TestALookCountsNobodyAgain, TestWhoIsActivatedMeanwhileIsCounted,
	}, "TestANodeThatIsAloneLooksOnce")
}
