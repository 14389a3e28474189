package webhooks_test

import (
	"testing"

	"gatehouse/internal/store/postgrestest"
)

func TestOnPostgres(t *testing.T) {
	postgrestest.Again(t, []func(*testing.T){
		TestChangesArriveSignedAndInOrder, TestWhatIsNotTakenComesAgain, TestWhoSaysGoneIsSentNothingMore, TestWhoFailsForDaysIsGivenUp,
		TestARedirectIsNotFollowed, TestAnEndlessAnswerIsCutShort, TestAReceiverThatHangsHoldsUpNobody, TestNodesDeliverOnceAndInOrder,
		TestWhatADeadNodeHadIsSentByAnother, TestNothingIsLostBetweenTheChangeAndItsDelivery, TestARotatedSecretIsInUseForADayMore, TestNothingIsSentOfATenantThatIsSuspended,
		TestOnlyWhatIsAskedForArrives, TestAGapIsToldOf, TestANodeThatIsAheadTakesNoWebhookFromAnother, TestWhatTheReceiverBeforeSaysIsNotTheNewOnes, TestWhatIsOnItsWayIsCutWithItsTenant, TestATestTellsWhatBecameOfIt, TestWebhooksThatAreRefused,
	}, "TestTheSampleOfTheGuideTakesWhatIsSent", "TestSlowReceiversLeaveRoomForTheOthers")
}
