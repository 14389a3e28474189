package google_test

import (
	"testing"

	"gatehouse/internal/store/postgrestest"
)

func TestOnPostgres(t *testing.T) {
	postgrestest.Again(t, []func(*testing.T){
		TestTheLifeOfAnAccount, TestP9_WhoIsSuspendedIsOut, TestAnAnswerThatIsNotUnderstoodTakesNobodyOut, TestOnePersonThatIsNotUnderstood, TestWhoIsPassedOverHasNotLeft,
		TestGoogleIsLeftAlone, TestAccessThatIsTakenAway, TestTheBrakeHoldsAReading, TestP1_P6_SettingsAndTheirKey, TestSettingsAndKeysThatAreRefused, TestATestChangesNothing, TestWhoWasThereBefore, TestWhatAdminsDoHere,
		TestOnlyAPartIsBrought, TestGroupsOfTheSameName, TestNodesReadOneAtATime, TestAReadingThatStandsStillIsTakenOver, TestANodeThatWasKilled, TestRunReadsWhatIsDue, TestManyPeople,
		TestATestTellsWhoWouldBeBrought, TestATestIsBounded, TestATestTriesEveryRight, TestASuspendedTenantIsNotRead, TestASuspensionAmongMembers,
		TestAnEmptyListEmptiesNoGroup, TestAnEmptyListLetsNobodyLeaveChosenGroups, TestWhatIsNotSaidIsNotGone, TestAReadingThatIsLateWritesNothing, TestAReadingThatStandsStillWithinARequestWritesNothing, TestAReleaseHasTheReadingGoOn, TestTheBrakeHoldsGroupsOfAReading, TestPutWaitsForTheReadingBefore, TestLargeAccountsLetOthersBeRead,
	})
}
